"""What all pictures share."""

from tuneprune.results.plots import figures


def test_the_middle_of_a_long_name_is_left_out() -> None:
    assert figures.short("t01") == "t01"
    assert figures.short("abcdefghij", 5) == "ab…ij"
    assert figures.short("abcdefghij", 6) == "ab…hij"
    assert len(figures.short("x" * 99)) == 22


def test_white_is_for_dark_colours() -> None:
    assert figures.is_dark((0.0, 0.0, 0.5, 1.0))
    assert not figures.is_dark((1.0, 0.9, 0.2, 1.0))


def test_categories_differ_in_hue_and_in_shape() -> None:
    looks = [figures.category(place) for place in range(8)]
    assert len({colour for colour, _ in looks}) == len({shape for _, shape in looks}) == 8


def test_long_titles_are_broken_and_stay_inside() -> None:
    figure = figures.make_figure(7.2, 3)
    figure.add_subplot()
    figures.set_title(figure, "many words " * 20, "a note " * 30)
    figure.draw_without_rendering()
    assert figure._suptitle is not None
    assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1


def test_names_of_a_legend_stay_inside() -> None:
    figure = figures.make_figure(7.2, 3)
    figure.add_subplot()
    for length in (4, 20, 40):
        entries = [figures.mark_entry("o", "w" * length) for _ in range(5)]
        figures.legend_below(figure, entries)
        figure.draw_without_rendering()
        box = figure.legends.pop().get_window_extent()
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1

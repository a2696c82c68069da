"""One E-Branchformer block against a plain one written here from the paper (arXiv 2210.00077).

The plain one is made of torch's own modules and sees one utterance at a time without padding;
ours sees them padded in a batch.
"""

import pytest
import torch
from torch import Tensor, nn

from tuneprune.config import ModelConfig
from tuneprune.models.ebranchformer import EBranchformerBlock

WIDTH, HEADS, HIDDEN, GATED, KERNEL, MERGE_KERNEL = 12, 3, 16, 20, 5, 7


class PaperBlock(nn.Module):
    """Macaron halves around two parallel branches, whose outputs are merged with convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Sequential(
                nn.LayerNorm(WIDTH), nn.Linear(WIDTH, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, WIDTH)
            )
            for _ in range(2)
        )
        self.global_norm = nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.local_norm = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 2 * GATED)
        self.gate_norm = nn.LayerNorm(GATED)
        self.gate_conv = nn.Conv1d(GATED, GATED, KERNEL, padding=KERNEL // 2, groups=GATED)
        self.down = nn.Linear(GATED, WIDTH)
        self.merge_conv = nn.Conv1d(
            2 * WIDTH, 2 * WIDTH, MERGE_KERNEL, padding=MERGE_KERNEL // 2, groups=2 * WIDTH
        )
        self.merge = nn.Linear(2 * WIDTH, WIDTH)
        self.last_norm = nn.LayerNorm(WIDTH)

    def forward(self, x_BTD: Tensor) -> Tensor:
        x = x_BTD + self.first(x_BTD) / 2
        normed = self.global_norm(x)
        y_global = self.attention(normed, normed, normed, need_weights=False)[0]
        z = nn.functional.gelu(self.up(self.local_norm(x)))
        a, b = z[..., :GATED], z[..., GATED:]
        b = self.gate_conv(self.gate_norm(b).mT).mT
        y_local = self.down(a * b)
        c = torch.cat([y_global, y_local], dim=2)
        x = x + self.merge(c + self.merge_conv(c.mT).mT)
        x = x + self.second(x) / 2
        normed = self.last_norm(x)
        return normed


OURS_BY_PAPER = {
    "first.0": "ff1.norm",
    "first.1": "ff1.linear_in",
    "first.3": "ff1.linear_out",
    "second.0": "ff2.norm",
    "second.1": "ff2.linear_in",
    "second.3": "ff2.linear_out",
    "global_norm": "mhsa.norm",
    "attention.in_proj_": "mhsa.qkv.",
    "attention.out_proj": "mhsa.output",
    "local_norm": "cgmlp.norm",
    "up": "cgmlp.linear_in",
    "gate_norm": "cgmlp.inner_norm",
    "gate_conv": "cgmlp.depthwise",
    "down": "cgmlp.linear_out",
    "merge_conv": "merge_depthwise",
    "merge": "merge_linear",
    "last_norm": "norm",
}


def our_name(paper_name: str) -> str:
    prefix = max((p for p in OURS_BY_PAPER if paper_name.startswith(p)), key=len)
    return OURS_BY_PAPER[prefix] + paper_name.removeprefix(prefix)


def our_block(**settings: object) -> EBranchformerBlock:
    config = ModelConfig.model_validate(
        {
            "encoder": "e_branchformer",
            "d_model": WIDTH,
            "num_blocks": 1,
            "head_dim": WIDTH // HEADS,
            "ffn_dim": HIDDEN,
            "cgmlp_dim": 2 * GATED,
            "conv_kernel": KERNEL,
            "merge_kernel": MERGE_KERNEL,
            **settings,
        }
    )
    return EBranchformerBlock(config, {"ff1": 4, "mhsa": HEADS, "cgmlp": 4, "ff2": 4}).double()


@pytest.mark.parametrize("training", [False, True])
def test_a_block_computes_what_the_paper_says(training: bool) -> None:
    torch.manual_seed(0)
    paper = PaperBlock().double()
    for parameter in paper.parameters():
        nn.init.normal_(parameter, std=0.5)
    ours = our_block(dropout=0.0, attention_dropout=0.0).train(training)
    ours.load_state_dict({our_name(n): t for n, t in paper.state_dict().items()})
    x_BTD = torch.randn(2, 19, WIDTH, dtype=torch.float64)
    lengths = (19, 8)
    valid_BT = torch.arange(19) < torch.tensor(lengths)[:, None]
    found = ours(x_BTD, valid_BT)
    for index, length in enumerate(lengths):
        expected = paper(x_BTD[index : index + 1, :length])
        torch.testing.assert_close(found[index : index + 1, :length], expected, rtol=0, atol=1e-10)


def test_a_fresh_gate_lets_everything_through() -> None:
    """Filters begin next to zero and their biases at one: the module is an ungated MLP."""
    torch.manual_seed(0)
    cgmlp = our_block().sliced("cgmlp").eval()
    x_BTD = torch.randn(2, 9, WIDTH, dtype=torch.float64)
    value = cgmlp.linear_in(cgmlp.norm(x_BTD))[..., :GATED]
    expected = cgmlp.linear_out(nn.functional.gelu(value))
    found = cgmlp(x_BTD, torch.ones(2, 9, dtype=torch.bool))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)

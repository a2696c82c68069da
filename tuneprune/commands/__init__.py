"""The commands, one file a family. Each calls a public function and prints what it returns.

Commands import what they need when they run: ``--help`` must not wait for torch and Ray.
"""

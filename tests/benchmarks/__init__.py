"""Speed, measured by hand: ``python -m tests.benchmarks``. Everything in one run, reported as ratios."""

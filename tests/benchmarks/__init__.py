"""`python -m tests.benchmarks`: decisions beside a ceiling of the same run."""

"""Statistics of audits and benchmarks: intervals, tests, what differs from noise. Knows arrays and tables alone."""

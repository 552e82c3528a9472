"""What people see of a pool from outside: counts, metrics, status, and why a request went where it went."""

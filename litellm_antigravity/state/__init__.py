"""What processes on one host share: cooldowns, health, buckets, tokens, slots."""

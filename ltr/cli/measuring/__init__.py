"""Commands that measure runs and compare them."""

"""What a process may use of its machine: processors, and threads that share them."""

"""How the costs of pairs, ranks and lists are added up without a matrix of pairs in memory."""

"""How an answer is paced and ended, over a clock."""

"""Losses of preference learning, each in a file of its name.

Reward models: ``bradley_terry``, ``rank_boost``. Policies: ``dpo`` (with cDPO, RobustDPO and fDPO), ``ipo``, ``simpo``,
``slic``, ``exo``, ``kto``, ``orpo``. Most are names for settings of ltr's losses: a class is one line of settings, and its
source. Scores are rewards, or ``beta (log π − log π_ref)`` as ``ltr.scorers.PolicyRatio`` returns them; lists hold two
responses to a prompt or more, and labels say which is better.
"""

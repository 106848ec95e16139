"""What differences mean: tests and Holm's correction (``p_values``), intervals (``bootstrap``), runs against one another
(``paired``), several ``seeds``; and ``contrasts``, in which all of these end."""

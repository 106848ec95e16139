"""What people read: ``tables``, ``charts``, and the ``page`` that holds both."""

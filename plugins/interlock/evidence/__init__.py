"""What a run claims, in a form that an outsider can check: statements, envelopes, seals. Pure, no I/O."""

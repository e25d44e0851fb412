"""Single patients: who gets worse, what each needs, and what that makes in sum."""

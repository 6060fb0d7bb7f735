"""What the field's users would do with reasonable care, a recipe per function; README says each in words."""

"""Results drawn for people, by rich: readable at 80 columns, in pipes and without colour."""

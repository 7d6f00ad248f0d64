"""A monitor's probe of thousands of samples: read and explained a few at a time, and reduced at once."""

"""The benchmark's machinery: servers, measurements, and what is made of the figures."""

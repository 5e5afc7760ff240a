"""The names of the free sides of an image in a graph's shapes."""

HEIGHT, WIDTH = "height", "width"

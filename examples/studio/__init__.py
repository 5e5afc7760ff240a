"""The painters and renderers behind the example images: numpy only, each a pure function of its size."""

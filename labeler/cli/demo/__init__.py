"""The demo project: pictures that are drawn, with scores of a made-up taste."""

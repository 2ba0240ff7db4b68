"""The size of the pictures that a scoring network takes."""


def size_of(image_size, least):
    """Width and height of a network's pictures.

    Args:
        image_size: Side in pixels, or (width, height).
        least: Smallest side the network can work on.

    Returns:
        (width, height).

    Raises:
        ValueError: for anything else, or a side that is smaller.
    """
    pair = (image_size,) * 2 if isinstance(image_size, int) else tuple(image_size)
    if len(pair) != 2 or any(n != int(n) or n < least for n in pair):
        raise ValueError(
            f"`image_size` is a side, or (width, height), of {least} pixels or more. "
            f"Received: {image_size}"
        )
    return tuple(int(n) for n in pair)

"""Draw from a generator: arrays, a folder of files, a dataset of PyTorch. Seconds.

    python examples/sampling.py

The generator in the box draws 64² patches of phantoms, each with its vessel mask. Your own: the
name of a run of the workspace, or a generator's folder.
"""

from torch.utils.data import DataLoader

import vesselforge as vf


def main(name: str = "phantom-joint-64", folder: str = "drawn") -> None:
    generator = vf.load_generator(name)

    # As arrays: the same seed is the same image; psi below 1 is more typical, and less varied.
    images, masks = generator.draw(range(8), psi=0.7)
    assert masks is not None  # as they would be of a generator that draws none
    print(f"images {images.shape}, masks {masks.shape}, {masks.mean():.1%} of them vessel")

    # As files: an image and a mask for each seed. With more seeds later, the folder grows.
    generator.draw_to(folder, "0-15", grid=True)
    print(f"16 pairs in {folder}/, all on a sheet in {folder}/grid.png")

    # As a dataset: pairs are drawn while you train.
    pairs = DataLoader(generator.dataset(range(1000)), batch_size=8, shuffle=True)
    image, mask = next(iter(pairs))
    print(f"a batch: images {list(image.shape)}, masks {list(mask.shape)}")


if __name__ == "__main__":
    main()

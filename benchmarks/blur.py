"""Are blurred parts found and restored, and how strong is each blur said to be?

    python benchmarks/blur.py CLIPART --held-out NAMES [--pages FOLDER]
        [--clean FOLDER ...] [--n 4]

CLIPART is a folder of pictures; NAMES is a text file with the names of those that
nothing was trained on, one a line. `--pages` is the folder of comic pages, of which
episodes 18 and later are held out. Every `--clean` folder holds pictures without
censors.

Of the table, "found" is the fraction of pictures in which what is found covers the
blurred part with an IoU over 0.5; "sigma found" and "sigma marked" are those of the
found and of all marked parts whose standard deviation is right within 20 %. "Blurred"
is the PSNR in the part; the other columns are gains over it: with sigma told, with the
part marked, with nothing told, and of two deconvolutions that know sigma. "Below" is
the fraction of pictures that came back worse by more than a tenth of a decibel.

`--train WEIGHTS` trains the small networks of `oppai.detection.blur` instead, on
CLIPART without the held-out pictures, the pages of episodes up to 17, `--more` and
drawn characters.
"""

import argparse
import math
import time
import warnings
from pathlib import Path

import cv2
import numpy as np

import oppai
from illustkit.images import list_images, read_image
from illustkit.samples import draw_character
from oppai.censoring.censor import blend
from oppai.censoring.filters import blur_kernel
from oppai.censoring.random_censor import draw_censor, draw_mask, through_jpeg
from oppai.censoring.regions import Censored, bounds
from oppai.detection import blur
from oppai.detection.blur import BlurView, marked_sigma
from oppai.detection.training import add_weights, vary
from oppai.inference.marks import NothingCensoredError

SIZES = (600, 848), (360, 512), (256, 256), (400, 300), (512, 512), (800, 600)


def character(seed, size=(600, 848)):
    return draw_character(seed, size).image


def reduced(picture, longest=1000):
    scale = longest / max(picture.shape)
    if scale >= 1:
        return picture
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def draw_view(pictures, rng):
    """Return a picture, what is blurred in it (bool), and sigma or `None`."""
    picture = vary(pictures[rng.integers(len(pictures))], rng)
    hole, sigma = np.zeros(picture.shape[:2], bool), None
    chance = rng.random()
    if min(picture.shape[:2]) < 64:
        return picture, hole, sigma
    if chance < 0.55:
        crop = some_crop(picture.shape, rng) if rng.random() < 0.6 else np.s_[:, :]
        inner = np.ascontiguousarray(picture[crop])
        case = draw_censor(inner, rng, mosaics=0, blurs=1, jpeg=0)
        picture[crop], sigma = case.image, case.sigma
        hole[crop] = case.mask > 127
    elif chance < 0.8:
        picture = soften(picture, pictures, rng)
    elif chance < 0.86:
        picture = np.asarray(draw_censor(picture, rng, mosaics=0.6).image)
    if rng.random() < 0.4:
        picture = through_jpeg(picture, int(rng.integers(50, 100)))
    return picture, hole, sigma


def some_crop(shape, rng, least=0.25):
    sides = [int(math.ceil(n * rng.uniform(least, 1))) for n in shape[:2]]
    y, x = (int(rng.integers(0, n - m + 1)) for n, m in zip(shape, sides, strict=False))
    return np.s_[y : y + sides[0], x : x + sides[1]]


def soften(picture, pictures, rng):
    """Make a clean picture soft in places, as drawn things and photographs are."""
    height, width = picture.shape[:2]
    kind = rng.integers(5)
    sigma = 2 * 10 ** rng.uniform(0, 1)
    if kind == 0:  # shadows, glows and clouds
        for _ in range(rng.integers(1, 4)):
            crop = some_crop(picture.shape, rng)
            part = np.ascontiguousarray(picture[crop])
            case = draw_censor(part, rng, mosaics=0, jpeg=0)
            mask = (
                cv2.GaussianBlur(case.mask, (0, 0), sigma) / 255 * rng.uniform(0.3, 1)
            )
            colour = rng.integers(0, 256, 3) * rng.integers(0, 2)
            picture[crop] = part + mask[..., None] * (colour - part.astype(float))
    elif kind == 1:  # a sharp thing before an unsharp background
        other = pictures[rng.integers(len(pictures))]
        other = cv2.resize(other, (width, height), interpolation=cv2.INTER_AREA)
        thing = np.abs(picture.astype(int) - picture[0, 0]).max(2) > 12
        thing = thing[..., None].repeat(3, 2)
        picture = np.where(thing, picture, cv2.GaussianBlur(other, (0, 0), sigma))
    elif kind == 2:  # an unsharp thing before a sharp background
        other = pictures[rng.integers(len(pictures))]
        other = cv2.resize(other, (width, height), interpolation=cv2.INTER_AREA)
        thing = np.abs(picture.astype(int) - picture[0, 0]).max(2) > 12
        weight = cv2.GaussianBlur(np.float32(thing), (0, 0), sigma)[..., None]
        soft = cv2.GaussianBlur(picture, (0, 0), sigma)
        picture = (other + weight * (soft.astype(float) - other)).astype(np.uint8)
    elif kind == 3:  # a part of lower resolution
        crop = some_crop(picture.shape, rng)
        part = np.ascontiguousarray(picture[crop])
        n = 10 ** rng.uniform(0.15, 0.9)
        small = [max(2, round(side / n)) for side in part.shape[1::-1]]
        small = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
        way = (cv2.INTER_CUBIC, cv2.INTER_LINEAR)[int(rng.random() < 0.3)]
        picture[crop] = cv2.resize(small, part.shape[1::-1], interpolation=way)
    else:  # gradients in panels, and all of it blurred
        if rng.random() < 0.3:
            return cv2.GaussianBlur(picture, (0, 0), sigma)
        for _ in range(rng.integers(1, 4)):
            crop = some_crop(picture.shape, rng)
            rows, columns = picture[crop].shape[:2]
            corners = rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)
            picture[crop] = cv2.resize(corners, (columns, rows))
    return picture


def train(paths, pages, path, n):
    """Train the small networks of the samples, and those of the regions, on others.

    The first see two thirds of the pictures, the second the last third.
    """
    seen = [p for k, p in enumerate(paths) if k % 3 > 0] + 2 * pages[::2]
    others = paths[::3] + 4 * pages[1::2]
    pictures = [reduced(read_image(p)) for p in seen]
    pictures += [character(300_000 + k, (360, 512)) for k in range(150)]
    learned = train_samples(pictures, n)
    use(learned)
    pictures = [read_image(p) for p in others]
    pictures += [character(400_000 + k) for k in range(100)]
    for name, (x, y) in gather(pictures, n, np.random.default_rng(2)).items():
        options = {"hidden": 32, "epochs": 300, "alpha": 2.0}
        if name != "sigma":
            options = {"hidden": 16, "epochs": 100, "alpha": 1.0}
        learned |= fit(name, x, y, n=5, **options)
    add_weights(path, {key: np.float16(value) for key, value in learned.items()})


def train_samples(pictures, n):
    """Train the two networks of the samples; return their weights."""
    rng = np.random.default_rng(1)
    maps, targets = [], []
    for _ in range(n):
        picture, hole, _ = draw_view(pictures, rng)
        seen = BlurView(picture).sample()
        maps.append(seen.astype(np.float16))
        size = seen.shape[:0:-1]
        target = cv2.resize(np.float32(hole), size, interpolation=cv2.INTER_AREA)
        targets.append(target > 0.5)
    learned = {}
    for name in ("samples", "again"):
        x, y = [], []
        for k, (seen, target) in enumerate(zip(maps, targets, strict=True)):
            features = blur.surrounded(np.float32(seen))
            if name == "again":
                features = blur.with_context(features, blur.weigh("samples", features))
            at = np.random.default_rng(k).integers(0, target.size, 300)
            x.append(features.reshape(target.size, -1)[at])
            y.append(target.ravel()[at])
        x, y = np.concatenate(x), np.concatenate(y)
        learned |= fit(name, x, y, hidden=32, n=1, epochs=15, alpha=1e-3)
        use(learned)
        right = (blur.weigh(name, x) > 0) == y
        print(f"{name}: {right.mean():.4f} right, blurred {right[y].mean():.4f}")
    return learned


def use(learned):
    """Let the search use weights that are not stored yet."""
    blur.load_weights = lambda: learned


def gather(pictures, n, rng):
    """Collect evidence of proposals, of marked parts, and of blurs of known sigma."""
    found, marked, sigmas = [], [], []
    for _ in range(n):
        picture, hole, sigma = draw_view(pictures, rng)
        view = BlurView(picture)
        log_odds = view.weigh_samples()
        for region, evidence in view.propose():
            hidden = hole[region.slices][region.mask].mean()
            covered = hole[region.slices][region.mask].sum() / max(hole.sum(), 1)
            if hidden < 0.2:
                found.append((evidence, False))
            elif hidden > 0.7 and covered > 0.5:
                found.append((evidence, True))
            if hidden > 0.7:
                sigmas.append((evidence, math.log(sigma)))
        if sigma is not None and hole.sum() > 400:
            mark = loosely(hole, rng)
            evidence = view.gather(mark, log_odds)
            marked.append((evidence, True))
            sigmas.append((evidence, math.log(sigma)))
            mark = mark & widen(hole, -3)
            if mark.sum() > 400:
                sigmas.append((view.gather(mark, log_odds), math.log(sigma)))
        elif sigma is None:
            mark = np.zeros(hole.shape, bool)
            mark[some_crop(hole.shape, rng, 0.1)] = True
            marked.append((view.gather(mark, log_odds), False))
            if min(hole.shape) >= 64:
                picture = picture.copy()
                mark = restore_roughly(picture, rng)
                view = BlurView(picture)
                evidence = view.gather(loosely(mark, rng), view.weigh_samples())
                marked.append((evidence, False))
    return {
        name: tuple(np.array(v) for v in zip(*rows, strict=True))
        for name, rows in (("overlaid", found), ("marked", marked), ("sigma", sigmas))
    }


def restore_roughly(picture, rng):
    """Make a part look as after restoring a blur; return where it is (bool)."""
    crop = some_crop(picture.shape, rng)
    part = np.ascontiguousarray(picture[crop])
    size = part.shape[1::-1]
    n = 1.2 * (10 / 1.2) ** rng.random()
    small = [max(2, round(side / n)) for side in size]
    small = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
    if rng.random() < 0.3:
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.2, 0.4))
    again = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
    mask = draw_mask(size, rng, hole_ratio=(0.3, 0.9))
    picture[crop] = blend(part, again, mask)
    hole = np.zeros(picture.shape[:2], bool)
    hole[crop] = mask > 127
    return hole


def widen(mask, n):
    square = np.ones((2 * abs(n) + 1,) * 2, np.uint8)
    way = cv2.dilate if n > 0 else cv2.erode
    return way(mask.astype(np.uint8), square) > 0


def loosely(hole, rng):
    """Return a mark as somebody draws it around a hole."""
    if rng.random() < 0.5:
        return widen(hole, int(rng.integers(-3, 8)) or 1)
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    left, right = np.rint(rng.uniform(-0.05, 0.15, 2) * len(columns)).astype(int)
    top, bottom = np.rint(rng.uniform(-0.05, 0.15, 2) * len(rows)).astype(int)
    mark = np.zeros_like(hole)
    y, x = max(0, rows[0] - top), max(0, columns[0] - left)
    mark[y : rows[-1] + 1 + bottom, x : columns[-1] + 1 + right] = True
    return mark


def fit(name, x, y, *, hidden, n, epochs, alpha):
    """Fit small networks; their mean is one network of n times as many units."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    mean, scale = x.mean(0), x.std(0) + 1e-3
    kind = MLPClassifier if y.dtype == bool else MLPRegressor
    batch = 200 if len(y) < 100_000 else 1000
    models = [
        kind(
            hidden_layer_sizes=(hidden,),
            max_iter=epochs,
            random_state=seed,
            alpha=alpha,
            batch_size=batch,
            learning_rate_init=3e-3 if n > 1 else 1e-3,
            n_iter_no_change=epochs,
        )
        for seed in range(n)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for model in models:
            model.fit(blur.scaled(x, mean, scale), y)
    learned = {
        "mean": mean,
        "scale": scale,
        "w1": np.concatenate([model.coefs_[0] for model in models], 1),
        "b1": np.concatenate([model.intercepts_[0] for model in models]),
        "w2": np.concatenate([model.coefs_[1][:, 0] for model in models]) / n,
        "b2": np.array(sum(model.intercepts_[1][0] for model in models) / n),
    }
    return {f"{name}.{key}": np.float32(value) for key, value in learned.items()}


SIGMAS = (3, 5), (5, 8), (8, 13), (13, 20)
WAYS = {
    "hard rim": {},
    "soft rim": {"rim": 6},
    "hard rim, JPEG 75": {"quality": 75},
    "soft rim, JPEG 75": {"rim": 6, "quality": 75},
}
COLUMNS = (
    "found", "sigma found", "sigma marked", "blurred", "told", "marked",
    "nothing told", "Wiener", "Richardson–Lucy", "below",
)  # fmt: skip


def draw_case(pictures, seed, sigma, filter, rim=0, quality=None):
    """Return a picture, a `Censored` of it, and the box of what is blurred."""
    rng = np.random.default_rng(seed)
    while True:
        picture = pictures[rng.integers(len(pictures))]
        size = np.array(picture.shape[1::-1])
        sides = (rng.uniform(0.3, 0.6, 2) * size).astype(int).clip(max=420)
        x, y = rng.integers(0, size - sides).tolist()
        width, height = sides.tolist()
        if picture[y : y + height, x : x + width].std() > 25:
            break
    box = x, y, x + width, y + height
    case = oppai.add_blur(
        picture, box, sigma=sigma, filter=filter, blur_size=rim, coverage=1
    )
    image = case.image if quality is None else through_jpeg(case.image, quality)
    return picture, Censored(image, case.mask, kind="blur", sigma=case.sigma), box


def measure(picture, case, filter):
    """Return the numbers of `COLUMNS` for one picture."""
    hole, image = case.mask > 0, np.asarray(case.image)
    found = oppai.find_censored(image)
    mask = found.mask > 0
    is_found = (mask & hole).sum() > 0.5 * (mask | hole).sum()
    sigmas = [region.sigma for region in found.regions if region.sigma]
    near = is_found and bool(sigmas) and abs(sigmas[0] / case.sigma - 1) <= 0.2
    box = bounds(hole)
    part = case.mask[box[1] : box[3], box[0] : box[2]] > 127
    marked_as = marked_sigma(image, box, part) or math.inf
    results = (
        image,
        oppai.restore(case),
        restored(image, mask=case.mask),
        restored(image, found=found) if found.regions else image,
        *deconvolved(image, box, case.sigma, filter),
    )
    gains = [psnr(result, picture, hole) for result in results]
    below = min(gains[1:4]) < gains[0] - 0.1
    is_near = abs(marked_as / case.sigma - 1) <= 0.2
    return is_found, near, is_near, gains[0], *(g - gains[0] for g in gains[1:]), below


def restored(image, **marks):
    try:
        return oppai.restore(image, **marks)
    except NothingCensoredError:
        return image


def deconvolved(image, box, sigma, filter):
    """Return what Wiener's filter and Richardson–Lucy make of the part, sigma told."""
    from skimage.restoration import richardson_lucy, wiener

    kernel = blur_kernel(sigma, 1 if filter == "box" else 3)
    point = np.outer(kernel, kernel)
    left, top, right, bottom = box
    n = len(kernel)
    part = np.pad(image[top:bottom, left:right], ((n, n), (n, n), (0, 0)), "reflect")
    results = []
    for deconvolve in (
        lambda channel: wiener(channel, point, 0.01),
        lambda channel: richardson_lucy(channel, point, 15),
    ):
        channels = [deconvolve(part[..., k] / 255.0) for k in range(3)]
        sharp = np.stack(channels, -1)[n:-n, n:-n].clip(0, 1) * 255
        result = image.copy()
        result[top:bottom, left:right] = np.rint(sharp)
        results.append(result)
    return results


def psnr(result, truth, hole):
    error = (result.astype(float) - truth)[hole]
    return 10 * np.log10(255**2 / max((error**2).mean(), 0.1))


def report(pictures, n):
    rows = []
    for number, (low, high) in enumerate(SIGMAS):
        for filter in ("gaussian", "box"):
            for way, options in WAYS.items():
                for k in range(n):
                    seed = 1000 * number + 10 * k + (filter == "box")
                    sigma = low * (high / low) ** np.random.default_rng(seed).random()
                    case = draw_case(pictures, seed, sigma, filter, **options)
                    row = measure(*case[:2], filter)
                    rows.append((f"sigma {low}–{high}, {filter}", way, row))
            print_rows(rows[-n * len(WAYS) :], 0)
    print_rows(rows, 1)
    print_rows([("all", "", row) for *_, row in rows], 0)


def print_rows(rows, at):
    for name in dict.fromkeys(row[at] for row in rows):
        numbers = np.array([row[2] for row in rows if row[at] == name], float)
        mean = numbers.mean(0)
        mean[1] = numbers[numbers[:, 0] > 0, 1].mean() if mean[0] else 0
        cells = [f"{v:.0%}" for v in mean[:3]] + [f"{mean[3]:.2f}"]
        cells += [f"{v:+.2f}" for v in mean[4:9]] + [f"{mean[9]:.0%}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def false_finds(sets):
    """Print in how many clean pictures of each set a blur is found."""
    print("| clean pictures | number | with a find | ms each |\n|-|-|-|-|")
    for name, pictures in sets.items():
        number, finds, seconds = 0, 0, 0.0
        for picture in pictures:
            start = time.process_time()
            finds += bool(blur.find_blurs(picture))
            seconds += time.process_time() - start
            number += 1
        if number:
            each = 1000 * seconds / number
            print(f"| {name} | {number} | {finds} | {each:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clipart", type=Path)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--pages", type=Path, help="folder of Pepper&Carrot's pages")
    parser.add_argument("--clean", type=Path, nargs="*", default=[], metavar="FOLDER")
    parser.add_argument("--n", type=int, default=4, help="pictures of a kind")
    parser.add_argument("--drawn", type=int, default=500, help="drawn characters")
    parser.add_argument("--train", type=Path, metavar="WEIGHTS")
    parser.add_argument("--views", type=int, default=3000, help="views to train on")
    parser.add_argument("--more", type=Path, nargs="*", default=[], metavar="FOLDER",
                        help="further pictures to train on")  # fmt: skip
    parser.add_argument("--left-out", type=Path, help="names of --more to leave out")
    arguments = parser.parse_args()
    paths = list_images(arguments.clipart)
    names = set(arguments.held_out.read_text("utf-8").split("\n"))
    held_out = [path for path in paths if path.name in names]
    pages = list_images(arguments.pages) if arguments.pages else []
    early = [path for path in pages if int(path.name[2:4]) <= 17]
    late = [path for path in pages if path not in early]
    if arguments.train:
        paths = [path for path in paths if path not in held_out]
        paths += [path for folder in arguments.more for path in list_images(folder)]
        if arguments.left_out:
            names = set(arguments.left_out.read_text("utf-8").split("\n"))
            paths = [path for path in paths if path.name not in names]
        return train(paths, early, arguments.train, arguments.views)
    clean = {
        "drawn characters": (
            character(k, SIZES[k % len(SIZES)]) for k in range(arguments.drawn)
        ),
        "clip art": map(read_image, paths),
        "of these held out": map(read_image, held_out),
        "comic pages": map(read_image, early),
        "comic pages held out": map(read_image, late),
    }
    for folder in arguments.clean:
        clean[folder.name] = map(read_image, list_images(folder))
    false_finds(clean)
    pictures = [read_image(path) for path in held_out + late[::4]]
    pictures += [character(50_000 + k, (450, 636)) for k in range(len(pictures))]
    print("\n| blur |", " | ".join(COLUMNS), "|\n|-" + "|-" * len(COLUMNS) + "|")
    report(
        [picture for picture in pictures if min(picture.shape[:2]) > 200], arguments.n
    )


if __name__ == "__main__":
    main()

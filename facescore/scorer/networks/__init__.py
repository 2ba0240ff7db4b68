"""The scorer's networks: AlexNet, AnimeCNN, SmallNet, TransferNet."""

from facescore.scorer.networks.alexnet import AlexNet as AlexNet
from facescore.scorer.networks.alexnet import CoverAllMaxPool as CoverAllMaxPool
from facescore.scorer.networks.alexnet import (
    LocalResponseNormalization as LocalResponseNormalization,
)
from facescore.scorer.networks.base import ImageSize as ImageSize
from facescore.scorer.networks.base import check_size as check_size
from facescore.scorer.networks.small import AnimeCNN as AnimeCNN
from facescore.scorer.networks.small import SmallNet as SmallNet
from facescore.scorer.networks.transfer_net import CellStatistics as CellStatistics
from facescore.scorer.networks.transfer_net import TransferNet as TransferNet

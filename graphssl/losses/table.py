"""One line and the source of each loss, for ``graphssl list losses``; imports nothing."""

LOSSES: dict[str, str] = {
    "bootstrap": "one minus the mean cosine of prediction and target: BGRL (Thakoor et al., 2022, arXiv:2102.06514)",
    "info_nce": "InfoNCE, with intra-view negatives the loss of GRACE and SimCLR (Zhu et al., 2020, arXiv:2006.04131)",
    "jsd": "Jensen-Shannon estimate of mutual information: Deep InfoMax, InfoGraph (Hjelm et al., 2019, arXiv:1808.06670)",
    "bce": "binary cross-entropy of scores: DGI (Velickovic et al., 2019, arXiv:1809.10341)",
}

"""One sentence about each score, for the report page and the comparison page."""

SCORE_DESCRIPTIONS = {
    "frechet_distance": "Fréchet distance between features of the samples and of unseen real "
    "images (Heusel et al. 2017).",
    "kernel_distance": "Kernel distance (squared maximum mean discrepancy) between the same "
    "features, which is unbiased for few images (Bińkowski et al. 2018).",
    "precision": "Share of the samples that look like real images: each is inside the neighborhood "
    "of a real image (Kynkäänniemi et al. 2019).",
    "recall": "Share of the real images that the samples reach: each is inside the neighborhood of "
    "a sample (Kynkäänniemi et al. 2019).",
    "density": "Average number of real neighborhoods that contain a sample, relative to the "
    "expected number; about 1 for real images (Naeem et al. 2020).",
    "coverage": "Share of the real images that have a sample in their neighborhood, which reaches "
    "to the fifth nearest real image (Naeem et al. 2020).",
    "detection_auc": "Area under the ROC curve of a new classifier (discriminator) that separates "
    "samples from unseen real items: .5 means it cannot, 1 means it always can.",
    "detection_accuracy": "Share of samples and unseen real items that the same classifier assigns "
    "correctly.",
    "label_accuracy": "Share of the samples that a classifier trained on real images assigns to "
    "the requested label.",
    "tstr_score": "Score on unseen real items of a predictor trained only on samples (train on "
    "synthetic, test on real): accuracy for images; for tables area under the ROC curve with two "
    "labels, macro F1 with more, R² for a number.",
    "near_duplicate_rate": "Share of the samples that are closer to a training image than 99 % of "
    "unseen real images are.",
    "memorization_rate": "Share of the samples that are near duplicates of one training image and "
    "much closer to it than to any other.",
    "marginal_tvd": "Average total variation distance of the distributions of single columns "
    "between samples and unseen real rows.",
    "pairwise_tvd": "Average total variation distance of the joint distributions of column pairs "
    "between samples and unseen real rows.",
    "dcr_share": "Share of the samples that are closer to a training row than to any of as many "
    "unseen real rows (distance to the closest record).",
    "exact_match_rate": "Share of the samples that are identical to a training row.",
    "membership_inference_auc": "Area under the ROC curve of an attack that uses the distance to "
    "the nearest sample to separate training items from unseen ones: .5 means it cannot.",
    "membership_inference_tpr_at_1pct_fpr": "Share of the training items that the same attack "
    "identifies (true-positive rate) while it wrongly suspects 1 % of the unseen items.",
    "unique_rate": "Number of distinct rows among the samples, divided by the number of samples.",
}

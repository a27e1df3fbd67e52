// Names and meanings of scores for readers; docs/images.md and docs/tables.md define them.

const WORDS: Record<string, [string, string]> = {
  frechet_distance: ["Fréchet distance", "Distance between the features of samples and of real images"],
  kernel_distance: ["Kernel distance", "Distance between feature distributions, without bias for small sets"],
  precision: ["Precision", "Share of samples that look real"],
  recall: ["Recall", "Share of real items that samples could be"],
  density: ["Density", "Number of samples around real items, relative to what is expected"],
  coverage: ["Coverage", "Share of real items with a sample nearby"],
  detection_auc: ["Detection AUC", "How well a classifier tells samples from real items: 0.5 is a coin flip"],
  relation_detection_auc: ["Detection AUC by relations", "The same with differences and ratios of related numbers in sight"],
  detection_accuracy: ["Detection accuracy", "Share of items that a classifier tells apart: 0.5 is a coin flip"],
  label_accuracy: ["Label accuracy", "Share of samples that show their label"],
  tstr_score: ["Usefulness (TSTR)", "Score of a classifier that was trained on samples, on real items"],
  global_utility: ["Each column from the others", "Score of predictors of each column that were trained on samples, on real rows"],
  marginal_tvd: ["Single columns", "Distance between the distributions of each column"],
  pairwise_tvd: ["Pairs of columns", "Distance between the joint distributions of two columns"],
  label_tvd: ["Columns of each label", "Distance between the distributions of columns among the rows of one label"],
  relation_violation_rate: ["Broken relations", "Share of samples that break a relation between columns"],
  unseen_pair_rate: ["Values that do not belong together", "Share of samples with a pair of values that no training row has"],
  unique_rate: ["Unique rows", "Share of samples that differ from all others"],
  near_duplicate_rate: ["Near duplicates", "Share of samples that are nearly a training item"],
  memorization_rate: ["Memorized", "Share of samples that copy a training item"],
  exact_match_rate: ["Exact matches", "Share of samples that equal a training row"],
  dcr_share: ["Closer to training rows", "Share of samples nearer to training rows than to unseen rows: 0.5 is safe"],
  membership_inference_auc: ["Membership attack AUC", "How well an attacker guesses what was trained on: 0.5 is a coin flip"],
  membership_inference_tpr_at_1pct_fpr: ["Membership attack, 1 % errors", "Share of training items that an attacker finds with 1 % false alarms"],
};
const PRIVACY = new Set([
  "near_duplicate_rate", "memorization_rate", "exact_match_rate", "dcr_share", "membership_inference_auc", "membership_inference_tpr_at_1pct_fpr",
]);

const ABBREVIATIONS: Record<string, string> = { auc: "AUC", kl: "KL divergence", tvd: "TVD" };

/** The name of a metric of a training in words: `critic_auc` is "Critic AUC". */
export function metricName(name: string): string {
  const words = name.split("_").map((word) => ABBREVIATIONS[word] ?? word).join(" ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export const scoreName = (name: string) => WORDS[name]?.[0] ?? name.replaceAll("_", " ");
/** A sentence of the service with the names of its scores in words. */
export const withScoreNames = (text: string) => text.replace(/\b[a-z\d]+(_[a-z\d]+)+\b/g, (name) => WORDS[name]?.[0] ?? name);
export const scoreMeaning = (name: string) => WORDS[name]?.[1] ?? "";
export const isPrivacyScore = (name: string) => PRIVACY.has(name);

export const VERDICT_WORDS: Record<string, string> = {
  good: "Samples are close to real data.",
  poor: "Samples differ from real data more than they should. Train longer, or with a better preset.",
  collapsed: "The model repeats a few samples. Train again with another seed or more data.",
  memorized: "Samples copy training items. Do not share them; train for a shorter time or with more data.",
};

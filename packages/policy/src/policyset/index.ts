/** Policy sets without effect: what `PolicySet` offers but for `compile`, which is an Effect. */
export * from "./Diff.ts"
export type { Clause, Explanation, PolicyExplanation } from "./Explain.ts"
export { platformFacts } from "./Facts.ts"
export * from "./Findings.ts"
export * from "./Policy.ts"
export * from "./Set.ts"
export * from "./Verdict.ts"

/** Policy sets as an agent needs them: to compile and to evaluate, without effect. */
export type { Clause, Explanation, PolicyExplanation } from "./Explain.ts"
export { platformFacts } from "./Facts.ts"
export type { Obligation } from "./Obligations.ts"
export * from "./Policy.ts"
export * from "./Set.ts"
export * from "./Verdict.ts"

/** The judgement: expressions, policy sets, permission checks, outages and content, without any I/O. */
export * from "./judgement.ts"
export * as PolicyFile from "./PolicyFile.ts"

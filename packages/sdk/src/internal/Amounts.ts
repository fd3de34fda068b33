/** The most that the platform takes of an amount: one beyond it is none. */

/** Tokens, and requests. */
export const mostCounted = Number.MAX_SAFE_INTEGER

/** US dollars. */
export const mostUsd = 9_000_000_000

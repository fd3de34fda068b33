/** What of options was said: a program may leave one out by giving undefined. */

/** The same without what is undefined, to be laid over defaults. */
export const given = <O extends object>(options: O | undefined): O =>
  Object.fromEntries(Object.entries(options ?? {}).filter(([, value]) => value !== undefined)) as O

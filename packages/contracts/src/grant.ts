import * as z from 'zod'

/** `ns::*`, `ns::fn` or `*`; a bare prefix `ns` (also `ns::`) becomes `ns::*`. Nothing where it is no grant. */
export function normaliseGrant(grant: string): string | undefined {
  const text = grant.trim()
  if (text === '*') return text
  if (/^[\w.-]+(::[\w.-]+)*::\*$/.test(text)) return text
  if (/^[\w.-]+(::[\w.-]+)+$/.test(text)) return text
  const bare = /^([\w.-]+)(?:::)?$/.exec(text)
  return bare ? `${bare[1]}::*` : undefined
}

/** Of an agent: what is no grant is refused before anything is changed. */
export const Grant = () =>
  z
    .string()
    .min(1)
    .max(256)
    .refine((grant) => normaliseGrant(grant) !== undefined, 'is no grant; write namespace::*, namespace::function or *')

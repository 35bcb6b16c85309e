/** `ns::fn` matches itself, `ns::*` everything below `ns`, `*` everything; a bare prefix reads as `prefix::*`. */
export function grantCovers(grant: string, functionId: string): boolean {
  if (grant === '*') return true
  const pattern = grant.includes('::') ? grant : `${grant}::*`
  if (!pattern.endsWith('::*')) return pattern === functionId
  return functionId.startsWith(pattern.slice(0, -1))
}

/** Deny first, then the grants, then the narrower list of this chat where there is one. */
export function mayUse(
  functionId: string,
  capabilities: { functions: readonly string[]; deny?: readonly string[] | null | undefined },
  narrowed?: readonly string[] | null,
): boolean {
  if (capabilities.deny?.some((grant) => grantCovers(grant, functionId))) return false
  if (!capabilities.functions.some((grant) => gives(grant, functionId))) return false
  return narrowed ? narrowed.some((grant) => grantCovers(grant, functionId)) : true
}

/** Instances of custom streams, `stream::get(name)`, are anybody's to register: no grant of their namespace gives them. */
function gives(grant: string, functionId: string): boolean {
  return grantCovers(grant, functionId) && (grant === '*' || grant === functionId || !functionId.includes('('))
}

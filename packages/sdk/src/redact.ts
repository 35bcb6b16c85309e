import { knownSecrets } from './known-secrets.ts'

/** What stands in the place of a secret. */
export const REDACTED = '[redacted]'

export interface Redaction {
  value: unknown
  /** Where something was replaced: `agents[0].systemPrompt`. */
  paths: string[]
}

/** Names of fields whose value is a secret, whatever it looks like. */
const secretName =
  /(^|[_.-])(api_?key|access_?key|private_?key|secret(_?key)?|client_?secret|passw(or)?d|passphrase|(access|refresh|auth|bearer|id|session)_?token|token|credentials?|authorization|cookie)s?$/

/** Forms that secrets have in running text. The last is a name with its value; only the value goes. */
const secretForms: RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /\bsk-(?:ant-|proj-|or-v1-)?[A-Za-z0-9_-]{16,}/g,
  /\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_-]{20,})/g,
  /\bxox[abeoprs]-[A-Za-z0-9-]{10,}/g,
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
  /\bAIza[A-Za-z0-9_-]{35}/g,
  /\b(?:r?k|sk|pk)_(?:live|test)_[A-Za-z0-9]{16,}/g,
  /\b(?:hf|gsk|xai|npm|dop_v1|pplx)[_-][A-Za-z0-9]{30,}/g,
  /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s/:@]{1,100}:[^\s/@]{1,200}@/gi,
]
/** A JSON web token: without what is behind its head it is none. Optional, so that a head is read once and not from each of its places. */
const webToken = /\beyJ[A-Za-z0-9_-]{10,}(\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,})?/g
const authorizationValue = /\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{16,}/gi
const namedValue =
  /\b(api[_-]?key|secret|password|passwd|access[_-]?token|auth[_-]?token)(["']?\s*[:=]\s*["']?)[^\s"',;]{6,}/gi

/**
 * A copy of a JSON value in which everything that is or looks like a secret is replaced: what this process knows by
 * value, known forms of keys and tokens in texts, and the whole value of fields with a telling name. It finds values and
 * forms, not meanings; what must not leak is better never written.
 */
export function redactSecrets(value: unknown): Redaction {
  const paths: string[] = []
  return { value: walk(value, '', paths), paths }
}

/** A text with the secrets in it replaced. */
export function redactText(text: string): string {
  let result = knownSecrets.text(text, REDACTED)
  for (const form of secretForms) result = result.replace(form, REDACTED)
  result = result.replace(webToken, (head, rest?: string) => (rest === undefined ? head : REDACTED))
  result = result.replace(authorizationValue, (_match, scheme: string) => `${scheme} ${REDACTED}`)
  return result.replace(namedValue, (_match, name: string, sign: string) => `${name}${sign}${REDACTED}`)
}

function walk(value: unknown, path: string, paths: string[]): unknown {
  if (typeof value === 'string') {
    const text = redactText(value)
    if (text !== value) paths.push(path)
    return text
  }
  if (Array.isArray(value)) return value.map((item, index) => walk(item, `${path}[${index}]`, paths))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, inner]): [string, unknown] => {
    const at = path === '' ? key : `${path}.${key}`
    // Key names are judged in snake case; a count such as maxTokens is not a token.
    const holdsSecret = (typeof inner === 'string' && inner !== '') || (typeof inner === 'object' && inner !== null)
    if (holdsSecret && secretName.test(snakeCase(key))) {
      paths.push(at)
      return [key, REDACTED]
    }
    return [key, walk(inner, at, paths)]
  })
  return Object.fromEntries(entries)
}

function snakeCase(key: string): string {
  return key.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()
}

import { EngineError } from '@agentos/protocol'

export type Segment = { literal: string } | { param: string }

/** A path with whole-segment `:name` parameters. */
export interface PathPattern {
  /** As it was given, with or without a leading slash. */
  source: string
  segments: readonly Segment[]
  /** For the router: parameters are named by position, so that patterns of one shape are one route. */
  shape: string
}

const PARAM_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

/** Reads a pattern. Throws `trigger_registration_failed` for what cannot be served. */
export function parsePattern(source: string): PathPattern {
  const path = source.replace(/^\/+/, '')
  if (/[?#*\s]/.test(path)) {
    throw new EngineError(
      'trigger_registration_failed',
      `The path ${source} cannot be served: it holds a wildcard, a query, a fragment or a space`,
    )
  }
  const names = new Set<string>()
  const segments = path.split('/').map((segment): Segment => {
    if (!segment.startsWith(':')) return { literal: segment }
    const param = segment.slice(1)
    if (!PARAM_NAME.test(param) || names.has(param)) {
      throw new EngineError(
        'trigger_registration_failed',
        `The path ${source} cannot be served: ${segment} is not a parameter, or stands there twice`,
      )
    }
    names.add(param)
    return { param }
  })
  const shape = segments.map((segment, index) =>
    // A colon inside a literal is doubled: to the router a single one begins a parameter.
    'param' in segment ? `:p${index}` : segment.literal.replaceAll(':', '::'),
  )
  return { source, segments, shape: `/${shape.join('/')}` }
}

/** `/v1/realms/{id}`, as OpenAPI writes it. */
export function openApiPath(pattern: PathPattern): string {
  const parts = pattern.segments.map((segment) => ('param' in segment ? `{${segment.param}}` : segment.literal))
  return `/${parts.join('/')}`
}

/** Parameters of a path that this pattern matched, not percent-decoded; `undefined` where one of them is empty. */
export function rawParams(pattern: PathPattern, path: string): Record<string, string> | undefined {
  const parts = path.slice(1).split('/')
  const params: Record<string, string> = {}
  for (const [index, segment] of pattern.segments.entries()) {
    if (!('param' in segment)) continue
    const value = parts[index]
    if (!value) return undefined
    params[segment.param] = value
  }
  return params
}

/**
 * Would a request for `owned` ever be answered by `other`? Literals win over parameters, from the left; so it would
 * where both match one path and the first difference is a literal of `other` against a parameter of `owned`.
 */
export function takesFrom(other: PathPattern, owned: PathPattern): boolean {
  if (other.segments.length !== owned.segments.length) return false
  let wins: boolean | undefined
  for (const [index, mine] of other.segments.entries()) {
    const theirs = owned.segments[index]!
    const literal = 'literal' in mine
    const theirLiteral = 'literal' in theirs
    if (literal && theirLiteral) {
      if (mine.literal !== theirs.literal) return false
    } else if (literal !== theirLiteral) {
      wins ??= literal
    }
  }
  return wins ?? true
}

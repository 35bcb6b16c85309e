const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => object }

/**
 * As `JSON.parse`, but for numbers that would be printed otherwise than they stood (more digits than a double has, `1.0`,
 * `1e400`): they are kept as text that `JSON.stringify` writes as it is. They cannot be calculated with.
 */
export function parseExact(text: string): unknown {
  return JSON.parse(text, (_key: string, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' && context?.source !== undefined && String(value) !== context.source
      ? rawJSON(context.source)
      : value,
  )
}

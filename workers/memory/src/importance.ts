const SIGNALS = ['error', 'bug', 'fix', 'critical']

/** How much a text is worth keeping, 0.5 to 1, from its form alone. The words count in lower case only, and once. */
export function estimateImportance(content: string, role: string): number {
  let importance = 0.5
  if (role === 'assistant') importance += 0.1
  if (Buffer.byteLength(content) > 500) importance += 0.1
  if (SIGNALS.some((signal) => content.includes(signal))) importance += 0.15
  if (content.includes('```')) importance += 0.1
  // Sums of tenths carry rounding noise that would show in every record.
  return Math.min(1, Math.round(importance * 100) / 100)
}

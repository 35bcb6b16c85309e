/**
 * Cuts a text into pieces of at most `size` code points, just after the last newline of a piece where there is one.
 * Joining the pieces restores the text. Size 0 gives none, the empty text one empty piece.
 */
export function chunk(text: string, size: number): string[] {
  if (size <= 0) return []
  const points = Array.from(text)
  if (points.length <= size) return [text]
  const chunks: string[] = []
  let start = 0
  while (points.length - start > size) {
    const newline = points.lastIndexOf('\n', start + size - 1)
    const end = newline >= start ? newline + 1 : start + size
    chunks.push(points.slice(start, end).join(''))
    start = end
  }
  if (start < points.length) chunks.push(points.slice(start).join(''))
  return chunks
}

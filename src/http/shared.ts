// Work that many may ask for at once and that is done once.

/** `make` for whoever asks: those who ask while it is under way get the same result. */
export function shared<T>(make: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | null = null
  return () => {
    underWay ??= make().finally(() => (underWay = null))
    return underWay
  }
}

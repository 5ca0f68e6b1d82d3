// Ending a long command at a point where it can go on later.

/** Aborted by the first SIGINT or SIGTERM; disposing it lets signals end the process again, as does the second one. */
export interface Interrupt extends Disposable {
  readonly signal: AbortSignal
}

/** Listens for signals. */
export function onInterrupt(): Interrupt {
  const controller = new AbortController()
  const forget = (): void => {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
  const onSignal = (): void => {
    forget()
    controller.abort(new Error('interrupted'))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return { signal: controller.signal, [Symbol.dispose]: forget }
}

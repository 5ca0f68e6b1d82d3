// Questions that come one by one are asked together: what a query costs beside its rows is shared by all of them.

/** Bounds of what is asked together. */
export interface GatherLimits {
  /** Most questions in one call. */
  readonly together: number
  /** Most calls under way; what comes meanwhile waits for the next. */
  readonly underWay: number
  /** Whether one of the questions may be the reason of an error: each is asked again, alone. */
  readonly oneMayBeToBlame: (error: unknown) => boolean
}

/**
 * `ask` for one question at a time. Whatever is asked within one turn of the event loop, or while all calls are under
 * way, goes into the next call, which begins after each of its questions was asked. What `ask` throws, all who asked hear,
 * unless one of them may be to blame.
 */
export function gather<Q, A>(ask: (questions: readonly Q[]) => Promise<(question: Q) => A>, { together, underWay, oneMayBeToBlame }: GatherLimits): (question: Q) => Promise<A> {
  const waiting: Waiting<Q, A>[] = []
  let calls = 0
  let planned = false

  const answer = async (group: readonly Waiting<Q, A>[]): Promise<void> => {
    try {
      const answerTo = await ask(group.map(({ question }) => question))
      for (const { question, resolve } of group) resolve(answerTo(question))
    } catch (error) {
      if (group.length > 1 && oneMayBeToBlame(error)) for (const one of group) await answer([one])
      else for (const { reject } of group) reject(error)
    }
  }
  const occupy = async (group: readonly Waiting<Q, A>[]): Promise<void> => {
    calls++
    await answer(group)
    calls--
    call()
  }
  const call = (): void => {
    planned = false
    for (let free = underWay - calls; free > 0 && waiting.length > 0; free--) void occupy(waiting.splice(0, together))
  }

  return (question) =>
    new Promise((resolve, reject) => {
      waiting.push({ question, resolve, reject })
      if (planned) return
      planned = true
      setImmediate(call)
    })
}

interface Waiting<Q, A> {
  readonly question: Q
  readonly resolve: (answer: A) => void
  readonly reject: (error: unknown) => void
}

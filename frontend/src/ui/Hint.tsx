/** What the server advises, if it does, with the commands in it set as such: it marks them with backticks. */
export function Hint({ says = "" }: { says?: string | undefined }) {
  return (
    <>
      {says.split("`").map((part, at) =>
        at % 2 === 0 ? (
          part
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: parts of a text never change places
          <code key={at} className="command">
            {part}
          </code>
        ),
      )}
    </>
  );
}

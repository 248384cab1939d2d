"""The same from asyncio: a task is awaited, and a failure says what went wrong."""

import asyncio

import anchor


async def half(number: int) -> float:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number / 2


async def main() -> None:
    async with anchor.AsyncClient() as client:
        print(await (await client.submit(half, 8)))

        futures = await client.map(half, [2, 4, 6])
        print(await client.gather(futures, timeout=60))

        failing = await client.submit(half, 3, attempts=1)
        try:
            await failing
        except anchor.TaskFailed as failed:
            print(failed.code, failed.message)


asyncio.run(main())

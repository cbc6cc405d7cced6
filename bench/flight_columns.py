"""The columns of the flights that the permit grants, for those who copy them without it."""

PLAIN = """time_hour, carrier, flight, year, month, day, sched_dep_time, dep_time, dep_delay, sched_arr_time, arr_time,
    arr_delay, {tailnum}, origin, dest, {air_time}, {distance}"""
WHOLE = PLAIN.format(tailnum="tailnum", air_time="air_time", distance="distance")

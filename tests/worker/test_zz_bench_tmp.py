import asyncio, time, os, statistics, psutil
from penstock_schemas import records as r
from tests.worker.test_process import worker_process
from tests.worker.conftest import *
from tests.worker.lease_authority import *
DELAY=float(os.environ.get("DELAY","0.03"))
async def test_bench(platform, authority):
    os.environ["PYTHONPATH"]="/tmp/eagents:"+os.environ["PYTHONPATH"]
    real=authority.grant
    pend=[]
    async def slow(claim):
        t=asyncio.create_task(later(claim)); pend.append(t)
    async def later(claim):
        await asyncio.sleep(DELAY); await real(claim)
    authority.grant=slow
    async with worker_process(platform,"--concurrency",os.environ.get("C","4")) as p:
        await authority.finished(await authority.dispatch("echo"))
        # idle latency
        lat=[]
        for _ in range(20):
            t=time.time(); e=await authority.dispatch("echo"); await authority.until(lambda: authority.all(r.ProgressRecord,e),"p"); lat.append(time.time()-t-DELAY); await authority.finished(e)
            await asyncio.sleep(0.15)
        print("idle dispatch->progress ms minus delay", statistics.median(lat)*1000, max(lat)*1000)
        for _ in range(3):
            n0=len(authority.all(r.FinishAttempt)); t=time.time(); c=psutil.Process(p.pid).cpu_times(); 
            await asyncio.gather(*(authority.dispatch("echo",input="x"*100) for _ in range(200)))
            td=time.time()-t
            await authority.until(lambda: len(authority.all(r.FinishAttempt))>=n0+200,"all")
            d=time.time()-t; c2=psutil.Process(p.pid).cpu_times()
            print(f"200 runs {d:.2f}s {200/d:.0f}/s dispatch took {td:.2f} supervisor cpu {c2.user+c2.system-c.user-c.system:.2f}s")
        print("rss MB", [round(q.memory_info().rss/1e6) for q in [psutil.Process(p.pid), *psutil.Process(p.pid).children()]])

import { VisitFinder, visitedFunctions } from "../src/replay/kernel-visit.js";
import { readTrace } from "../src/trace/read-trace.js";
import { Kind } from "../src/trace/batch.js";
import { readFileSync } from "node:fs";
const syms=readFileSync("/tmp/inp/System.map","latin1").split("\n").map(l=>l.split(" ")).filter(l=>l.length===3&&l[0]!.startsWith("ffffffff8")).map(l=>[parseInt(l[0]!.slice(8),16),l[2]!] as const).sort((a,b)=>a[0]-b[0]);
const name=(lo:number)=>{let l=0,h=syms.length-1; while(l<h){const m=(l+h+1)>>1; if(syms[m]![0]<=lo)l=m; else h=m-1;} return syms[l]![1]+"+"+(lo-syms[l]![0]).toString(16);};
const by=new Map(syms.map(([a,n])=>[n,a] as const));
const create=by.get("pgd_alloc")!, free=by.get("pgd_free")!;
const [f,which,limit]=process.argv.slice(2);
const fns=visitedFunctions((n)=>by.has(n)?BigInt(by.get(n)!)|0xffffffff00000000n:undefined)!;
const finder=new VisitFinder(fns);
let vcpu=0; let log:string[]=[]; let total=0; const buf:string[]=[]; let printed=0;
readTrace(f!,(b)=>{for(let i=0;i<b.length;i++){const k=b.kind[i]; if(k===Kind.Vcpu)vcpu=b.a[i]!; 
 if(k===Kind.Fetch&&b.hi[i]!>=0x80000000&&vcpu===2){ const lo=b.lo[i]!; const was=finder.opened; const v=finder.fetch(vcpu,lo,b.hi[i]!,b.a[i]!,b.b[i]!); if(v){ console.log("visit",v.kind,v.pgd.toString(16),v.slot,v.instructions); if((v.instructions>1000)&&printed++<Number(which??0)) console.log(buf.slice(0,Number(limit)).join("\n"),"\n....\n",buf.slice(-Number(limit)).join("\n")); }
  if(finder.opened===0)buf.length=0; else { const n=name(lo); buf.push(n+" ("+b.a[i]+")"); } }
 else if (k===Kind.Fetch&&vcpu===2&&finder.opened>0) buf.push("USER "+b.lo[i]!.toString(16));
 if((k===Kind.Load||k===Kind.Store)&&vcpu===2&&finder.opened>0&&!(b.a[i]!&0x100)&&b.hi[i]!>=0x80000000){finder.access(2,b.lo[i]!,b.hi[i]!,k===Kind.Store); if(b.hi[i]!>=0xffffc900&&b.hi[i]!<0xffffe900) buf[buf.length-1]+=(k===Kind.Store?" S":" L")+b.hi[i]!.toString(16)+b.lo[i]!.toString(16).padStart(8,"0");}
}});
